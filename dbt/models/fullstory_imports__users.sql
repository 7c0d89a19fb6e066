{#- Fullstory updates a user with each import, so each field has its newest value. -#}
{{ config(materialized='table') }}

with users as (

    select * from {{ ref('stg_fullstory_imports__imported_users') }}

),

jobs as (

    select * from {{ ref('stg_fullstory_imports__user_import_jobs') }}

),

imported as (

    select users.*, jobs.created_at
    from users
    left join jobs on jobs.job_id = users.job_id

),

uids as (

    select id, max(uid) as uid from imported group by id

),

numbered as (

    select
        imported.*,
        coalesce(
            'uid ' || coalesce(imported.uid, uids.uid),
            'id ' || imported.id,
            'row ' || imported.job_id || ' ' || imported.user_index
        ) as user_key,
        row_number() over (order by imported.created_at nulls first, imported.job_id, imported.user_index) as place
    from imported
    left join uids on uids.id = imported.id

),

fields as (

    select
        numbered.user_key,
        field.key,
        field.value,
        row_number() over (partition by numbered.user_key, field.key order by numbered.place desc) as age
    from numbered
    {{ json_fields('numbered.properties') }}

),

properties as (

    select
        user_key,
        {{ 'object_agg' if target.type == 'snowflake' else 'jsonb_object_agg' }}(key, value) as properties
    from fields
    where age = 1
    group by user_key

),

newest as (

    select
        user_key,
        {{ newest('id', 'place') }} as id,
        {{ newest('uid', 'place') }} as uid,
        {{ newest('display_name', 'place') }} as display_name,
        {{ newest('email', 'place') }} as email,
        {{ newest('job_id', 'place') }} as job_id,
        {{ newest(quoted('schema'), 'place') }} as {{ quoted('schema') }},
        max(created_at) as imported_at,
        count(*) as imports
    from numbered
    group by user_key

)

select newest.*, properties.properties
from newest
left join properties on properties.user_key = newest.user_key
