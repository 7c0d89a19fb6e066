{#-
By event and property: the types of the loaded values and those that Fullstory gives,
each with a job that has it; and the one type that holds all of them.
-#}
{%- macro property_types() -%}
    {%- set events = {} -%}
    {%- for name, property, type, job_id in run_query(dbt_fullstory_imports.property_types_query()).rows -%}
        {%- set properties = events.setdefault(name, {}) -%}
        {%- if property is not none -%}
            {%- do properties.setdefault(property, {'jobs': {}}).jobs.update({type: job_id}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for properties in events.values() -%}
        {%- for types in properties.values() -%}
            {%- do types.update({
                'proposed': dbt_fullstory_imports.common_type(types.jobs.keys()),
                'is_changing': dbt_fullstory_imports.is_changing(types.jobs.keys())
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(events) }}
{%- endmacro -%}

{%- macro property_types_query() -%}
{%- set columns = dbt_fullstory_imports.raw_columns(source('fullstory_imports', 'imported_events')) -%}
with events as (

    select
        {{ dbt_fullstory_imports.raw_field(columns, ['job_id'], 'str') }},
        {{ dbt_fullstory_imports.raw_field(columns, ['name'], 'str') }},
        {{ dbt_fullstory_imports.raw_field(columns, ['properties'], 'json') }},
        {{ dbt_fullstory_imports.raw_field(columns, ['schema'], 'json') }}
    from {{ source('fullstory_imports', 'imported_events') }}
    where {{ dbt_fullstory_imports.quoted('name') }} is not null

),

loaded as (

    select events.job_id, events.name, field.key as property, field.value
    from events
    {{ dbt_fullstory_imports.json_fields('events.properties') }}

),

kinds as (

    select loaded.*, {{ dbt_fullstory_imports.json_kind('loaded.value') }} as kind
    from loaded

),

scalars as (

    select
        job_id,
        name,
        property,
        {{ dbt_fullstory_imports.type_of('value') }} as type
    from kinds
    where kind <> 'array'

),

arrays as (

    select job_id, name, property, value
    from kinds
    where kind = 'array'

),

lists as (

    select
        arrays.job_id,
        arrays.name,
        arrays.property,
        {{ dbt_fullstory_imports.type_of('element.value') }} as type
    from arrays
    {{ dbt_fullstory_imports.json_elements('arrays.value') }}

),

given as (

    select
        events.job_id,
        events.name,
        field.key as property,
        {{ dbt_fullstory_imports.json_text('field.value') }} as type
    from events
    {{ dbt_fullstory_imports.json_fields(dbt_fullstory_imports.json_get('events.schema', ['properties'])) }}
    where {{ dbt_fullstory_imports.json_text('field.value') }} in (
        {%- for type in dbt_fullstory_imports.scalar_types() -%}
        '{{ type }}', '{{ type }}s'{{ ', ' if not loop.last }}
        {%- endfor -%}
    )

),

types as (

    select scalars.* from scalars

    union all

    select
        lists.job_id,
        lists.name,
        lists.property,
        case when lists.type = 'json' then 'json' else lists.type || 's' end as type
    from lists

    union all

    select arrays.job_id, arrays.name, arrays.property, 'nulls' as type from arrays

    union all

    select given.* from given

),

names as (

    select distinct name from events

)

select names.name, types.property, types.type, min(types.job_id) as example_job_id
from names
left join types on types.name = names.name
group by names.name, types.property, types.type
order by names.name, types.property, types.type
{%- endmacro -%}
