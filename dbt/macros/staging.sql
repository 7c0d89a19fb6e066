{#- Where a project's own settings of the package are read. -#}

{#- In a model of the project itself, the package's default of the variable is unknown. -#}
{%- macro is_loaded(stream) -%}
    {{ return(stream in var('fullstory_imports_streams', [stream])) }}
{%- endmacro -%}

{#- The columns that a stream's table has; a field that the tap leaves out has none. -#}
{%- macro raw_columns(relation) -%}
    {%- set names = [] -%}
    {%- if execute -%}
        {%- for column in adapter.get_columns_in_relation(relation) -%}
            {%- do names.append(column.name | lower) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(names) }}
{%- endmacro -%}

{#- A field of a raw row as a typed column; null if its table has no such column. -#}
{%- macro raw_field(columns, path, type) -%}
    {%- set column = dbt_fullstory_imports.quoted(path[0]) -%}
    {%- if execute and path[0] not in columns -%}
        cast(null as {{ dbt_fullstory_imports.sql_type(type) }})
    {%- elif path | length > 1 -%}
        {{ dbt_fullstory_imports.typed(dbt_fullstory_imports.json_get(column, path[1:]), type) }}
    {%- elif type == 'int' -%}
        cast({{ column }} as bigint)
    {%- else -%}
        {{ column }}
    {%- endif %} as {{ dbt_fullstory_imports.quoted(path | join('_')) }}
{%- endmacro -%}

{#- The name of a column, which may be a reserved word, in the warehouse's own case. -#}
{%- macro quoted(name) -%}
    {%- set name = name | upper if target.type == 'snowflake' else name -%}
    {{ return(adapter.quote(name | replace('"', '""'))) }}
{%- endmacro -%}
