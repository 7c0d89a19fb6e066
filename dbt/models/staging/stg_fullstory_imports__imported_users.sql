{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{{ config(enabled=dbt_fullstory_imports.is_loaded('imported_users')) }}
{%- set columns = dbt_fullstory_imports.raw_columns(source('fullstory_imports', 'imported_users')) %}

select
    {{ dbt_fullstory_imports.raw_field(columns, ['job_id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user_index'], 'int') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['uid'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['display_name'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['email'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['properties'], 'json') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['schema'], 'json') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['type_conflicts'], 'json') }}
from {{ source('fullstory_imports', 'imported_users') }}
